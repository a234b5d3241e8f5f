"""What the machine does while a run trains, under the names that MLflow's clients use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MB = 1e6


class SystemSampler:
    """CPU in percent since the last sample; network in megabytes since the first."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        psutil.cpu_percent(None)
        self._network = psutil.net_io_counters()
        self._disk = str(Path.cwd())

    def sample(self) -> Mapping[str, float]:
        memory, disk = self._psutil.virtual_memory(), self._psutil.disk_usage(self._disk)
        network = self._psutil.net_io_counters()
        found = {
            "system/cpu_utilization_percentage": self._psutil.cpu_percent(None),
            "system/system_memory_usage_megabytes": memory.used / MB,
            "system/system_memory_usage_percentage": memory.percent,
            "system/disk_usage_megabytes": disk.used / MB,
            "system/disk_usage_percentage": disk.percent,
            "system/disk_available_megabytes": disk.free / MB,
        }
        if network is not None and self._network is not None:  # a container may have no network
            found["system/network_receive_megabytes"] = (network.bytes_recv - self._network.bytes_recv) / MB
            found["system/network_transmit_megabytes"] = (network.bytes_sent - self._network.bytes_sent) / MB
        return found
