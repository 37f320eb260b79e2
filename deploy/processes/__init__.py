"""Server and workers as child processes, of this machine or of other hosts: started, read, restarted and stopped."""
