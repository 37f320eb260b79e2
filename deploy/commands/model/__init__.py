"""Take a run's model out: save, evaluate and show it.

Examples:
    gradwire model save --state-dir runs/one --out model.safetensors
    gradwire model evaluate --state-dir runs/one
    gradwire model info model.safetensors
"""
