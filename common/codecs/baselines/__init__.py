"""Published codecs that this project compares itself with."""
