"""The suite's server, on a loopback port that is free. Runs on the suite's own Python 2.7.

Usage: fuzzing_server.py SPEC

The suite's own command wants to be given a port, and listens on all interfaces.
"""

import json
import sys

from autobahntestsuite import fuzzing
from twisted.internet import reactor


def listen(factory, tls):
    port = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
    # What the field Host of a request must name.
    factory.externalPort = port
    sys.stdout.write("listening on port " + str(port) + "\n")


fuzzing.listenWS = listen
with open(sys.argv[1]) as spec:
    fuzzing.startServer(json.load(spec), webport=None)
reactor.run()
