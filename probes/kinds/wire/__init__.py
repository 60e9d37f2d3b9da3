"""What the kinds share: names, sockets, TLS and HTTP/1, each wait timed where it ends, in the kernel."""
