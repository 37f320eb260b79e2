"""The images of a measurement's containers: built from this checkout, or named by the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradwire.common.errors import ConfigError

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = "deploy/Dockerfile"


@dataclass(frozen=True)
class Images:
    """Names of the server's image and the workers'."""

    server: str
    worker: str


def connect() -> Any:
    """A client of the Docker engine that the environment selects.

    Raises:
        ConfigError: the docker package is missing, or no engine answers.
    """
    try:
        import docker
    except ImportError as error:
        raise ConfigError("containers need the docker package: pip install 'gradwire[docker]'") from error
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise ConfigError("no Docker engine answers: start it, or use --hosts netns") from error
    return client


def build(client: Any) -> Images:
    """Build both images from the checkout that this module lies in.

    Raises:
        ConfigError: it does not lie in one, or the build failed.
    """
    import docker

    if not (CHECKOUT / DOCKERFILE).is_file():
        raise ConfigError(
            f"there is no {DOCKERFILE} beside this program: run a checkout's, or name the image with --image"
        )
    names = {}
    for target in ("server", "worker"):
        try:
            image, _ = client.images.build(
                path=str(CHECKOUT),
                dockerfile=DOCKERFILE,
                target=target,
                tag=f"gradwire-bench-{target}",
                rm=True,
            )
        except docker.errors.BuildError as error:
            log = "".join(row.get("stream", "") for row in error.build_log).strip().splitlines()[-3:]
            raise ConfigError(
                f"cannot build the {target}'s image: {' / '.join([*log, str(error)])}"
            ) from error
        names[target] = image.id
    return Images(**names)
