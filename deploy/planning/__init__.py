"""The codecs of ``gradwire plan``: those that fit a budget, by their variance and its lower bound."""
