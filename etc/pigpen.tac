# Run with: twistd -ny etc/pigpen.tac
# Starts a whole cloud for this machine in ./pool, as `pigpen solo ./pool` does. Change the list to
# run another service, with the options of `pigpen COMMAND --help`; PIGPEN_TAC does so from outside.

import os
import shlex

from twisted.application.service import Application

from pigpen.tap import Options, makeService

options = Options()
options.parseOptions(shlex.split(os.environ.get("PIGPEN_TAC", "solo ./pool")))

application = Application("pigpen")
makeService(options).setServiceParent(application)
