"""The worker: tasks, the replica of the model, the client loop, command."""
