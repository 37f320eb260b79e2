"""The shared gRPC edge: channels, credentials, and errors as statuses."""
