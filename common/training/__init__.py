"""The configuration of a run, and the model as a fold over its log: what server and replicas replay."""
