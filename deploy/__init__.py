"""The command line, TLS certificates, and running on one machine or many."""
