"""The worker: tasks, the replica of the model, gradients and their payloads, the stream to the server."""
