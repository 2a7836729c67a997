"""`clawdbot.v1.ChatService`, as `proto/clawdbot/v1/chat.proto` and `docs/grpc.md` have it."""
