"""Replies of an environment, to one episode or to many at once.

An error in a tool is not the policy's fault: the completion is unscored, and the log says why. An error of kgym, such
as programs that cannot be isolated on this machine, ends the run.
"""

import logging
import reprlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kgym.blame import label_of
from kgym.envs.task import Responds
from kgym.errors import ComponentError, KgymError, SandboxLost
from kgym.hookspecs import EnvInfo
from kgym.loading import prints_to_stderr
from kgym.neutral import encodable, error_line
from kgym.types import Episode, Message, Verdict

log = logging.getLogger(__name__)

WORKERS = 8
"""Replies that a slow environment works on at the same time."""


def reply_of(task: Responds, episode: Episode) -> Message | Verdict | None:
    """Return the task's reply, None if the episode ends, or an unscored verdict if the task fails. What is not a
    character in a reply becomes U+FFFD (`kgym.neutral.encodable`).

    May be called from several threads at once. Raises ComponentError, naming the environment, if the reply is not a
    Message.
    """
    where = label_of(EnvInfo.kind, task)
    try:
        with prints_to_stderr():
            said = task.respond(episode)
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        if isinstance(error, KgymError) and not isinstance(error, SandboxLost):
            raise
        log.warning(
            "%s, problem %s: no reply, so the completion is unscored: %s", where, episode.problem.id, error_line(error)
        )
        return Verdict("unscored", reason=f"reply:{type(error).__name__}")
    if said is not None and not (isinstance(said, Message) and isinstance(said.content, str)):
        raise ComponentError(
            f"{where}, problem {episode.problem.id}: respond returned {reprlib.repr(said)}; return a Message or None"
        )
    return said if said is None else said._replace(content=encodable(said.content))


def replies(task: Responds, episodes: Sequence[Episode]) -> list[Message | Verdict | None]:
    """Return the reply to each episode, in order; a slow task works on several at the same time."""
    if not task.slow or len(episodes) == 1:
        return [reply_of(task, episode) for episode in episodes]
    with ThreadPoolExecutor(min(WORKERS, len(episodes)), thread_name_prefix="kgym-replies") as pool:
        return list(pool.map(lambda episode: reply_of(task, episode), episodes))
