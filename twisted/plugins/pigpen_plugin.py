"""Makes `twistd pigpen` known; every twistd imports this, so it imports nothing more."""

from twisted.application.service import ServiceMaker

pigpen = ServiceMaker("pigpen", "pigpen.tap", "Cloud store of pooled disks.", "pigpen")
