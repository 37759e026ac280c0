"""HTTP/1.1 to a vendor: what is written, how the answer is read, the connections and their pool.

Of runcap's own making because it is on the way of every call: a general client (aiohttp, the fastest that was measured)
took a third of a call's whole time. The parsing is llhttp's, TLS and DNS are the loop's. What a call may be retried
for, and what its failure means for the money, is the forwarder's business (`runcap.forwarder`), not known here.
"""
