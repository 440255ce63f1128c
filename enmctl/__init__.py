"""enmctl keeps the microcontrollers behind a gateway on the right firmware."""

__version__ = "0.1.0"
