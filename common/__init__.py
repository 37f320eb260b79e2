"""What server and worker share: codecs, optimizer steps, run configuration, errors, the byte meter."""
