from benchmarks.peers import FileServer
from benchmarks.process import NotMeasured


class PigpenHost(FileServer):
    name = "pigpen"

    def start(self, folder):
        raise NotMeasured("later")


class PigpenCloud(PigpenHost):
    pass
