"""What crosses the wire: the protobuf definitions and the code generated from them."""
