"""Files of real events: read (``formats``), put in order and sent (``send``)."""
