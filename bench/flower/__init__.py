"""Flower's FedAvg on the same split, model and local steps as a run of gradwire's; ``flwr`` is needed here alone."""
