"""The language all parts of pigpen speak: messages, bodies, keys, conditions. Pure: no I/O."""
