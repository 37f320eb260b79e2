"""Published codecs for comparison."""
