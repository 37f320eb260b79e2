"""One worker process's stream: who is at the other end, how it joins, and its messages in both directions."""
