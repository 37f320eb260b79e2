"""Pages that people look at: runs and experiments as one self-contained HTML file."""
