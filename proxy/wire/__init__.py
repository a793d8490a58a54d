"""What crosses the wire, understood: bytes to frozen values and back, without I/O."""
