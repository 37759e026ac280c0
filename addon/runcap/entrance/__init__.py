"""How an agent's bytes come in: CONNECT, TLS, HTTP/1.1, and the rules before any vendor's code reads a request."""
