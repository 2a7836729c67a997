"""An async client for Clawdbot.

async with Client("http://127.0.0.1:8000", key) as client:          # REST and server-sent events
    answer = await client.chat("Hello")
    async for event in client.stream("And now?", session_id=answer.session_id): ...

`clawdbot_client.socket.Socket` speaks WebSocket (extra `websocket`), `clawdbot_client.rpc.GrpcClient` gRPC (extra
`grpc`)."""

from clawdbot_client.errors import ClawdbotError, Disconnected
from clawdbot_client.events import Answer, Delta, Done, Event, Start
from clawdbot_client.rest import Client
from clawdbot_client.sessions import Sessions

__all__ = ["Answer", "ClawdbotError", "Client", "Delta", "Disconnected", "Done", "Event", "Sessions", "Start"]
