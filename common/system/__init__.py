"""What server and worker ask of the operating system: durable files, memory, signals."""
