"""What ``gradwire plan`` computes: codecs that fit a budget, ranked by their variance and its lower bound."""
