# The gateway as a container. Build: docker build -t enmctl .
# Run it with the host's network, so that boards are found over mDNS:
#   docker run --network host -v enmctl:/data enmctl
# README.md says what Bluetooth and the hotspot need of the host.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY enmctl enmctl
RUN pip install --no-cache-dir --prefix=/install ".[signatures]"

FROM python:3.13-slim
# btattach, for the Bluetooth of a Raspberry Pi 3 that the host leaves to us; bluetoothd itself is the host's.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bluez \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /install /usr/local
# The Supervisor appends a device's uuid to this address; with the host's network it is the gateway's own API.
ENV BALENA_DEPENDENT_DEVICES_HOOK_ADDRESS=http://127.0.0.1:1337/v1/devices/ \
    RESIN_DEPENDENT_DEVICES_HOOK_ADDRESS=http://127.0.0.1:1337/v1/devices/ \
    PYTHONUNBUFFERED=1
LABEL io.balena.features.supervisor-api=1 \
      io.balena.features.dbus=1
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["enmctl"]
CMD ["run"]
