"""The parameter server: round state machine, durable log, gRPC servicer, command."""
