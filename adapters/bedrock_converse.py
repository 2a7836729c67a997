"""The Converse format of Amazon Bedrock over HTTP (`POST <base>/model/<id>/converse` and `/converse-stream`), signed
with AWS Signature Version 4 or with an API key of Bedrock itself.

Source: the Amazon Bedrock API reference, Converse and ConverseStream; the service model in botocore. Requests are in
`adapters/bedrock_requests.py`, answers in `adapters/bedrock_answers.py`. Of botocore only the signer and the decoder of
event streams are used: our own client sends, nothing is read from the environment, from files or from the machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlunsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from adapters.base import AdapterConfig, InvalidAdapterConfig
from adapters.bedrock_answers import STATUSES, ConverseReader
from adapters.bedrock_requests import Options, body
from adapters.refusals import refusal
from adapters.service import AnswerReader, HttpAdapter, Outgoing, address, options_of, sendable
from engine.errors import EngineError, UpstreamError
from engine.outbound import HttpClient
from engine.types import ModelCall

SERVICE: Final = "bedrock"
REGION: Final = re.compile(r"[a-z0-9-]{1,40}\Z")
HOST_REGION: Final = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
JSON: Final = {"Content-Type": "application/json", "Accept": "application/json, application/vnd.amazon.eventstream"}
# Said with 400 like a fault of the request, but the configuration is to blame.
MISCONFIGURED: Final = ("model identifier is invalid", "on-demand throughput", "access to the model")


class BedrockConverseAdapter(HttpAdapter):
    """One choice an answer. `api_key` is `<access key id>:<secret>`, with `:<session token>` where it is temporary, or
    an API key of Bedrock. Tools that the service runs itself are its own business: none of it is handed out."""

    name = "bedrock_converse"
    label = "Amazon Bedrock Converse"
    provider = "aws.bedrock"
    capabilities = frozenset({"chat", "tools", "reasoning", "usage", "probe"})

    def __init__(self, config: AdapterConfig, http: HttpClient) -> None:
        super().__init__(config, http)
        self._options = options_of(config, Options)
        region = self._options.region
        if region and not REGION.match(region):
            raise InvalidAdapterConfig("options: region is none.")
        if not config.endpoint and not region:
            raise InvalidAdapterConfig("endpoint: give an address, or a region in the options.")
        parts = address(config.endpoint or f"https://bedrock-runtime.{region}.amazonaws.com")
        self._base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self._probe_url = f"{self._base}/"
        self._headers = sendable({**JSON, **self._options.headers}, "")
        self._signer: SigV4Auth | None = None
        self._secret = config.api_key
        if ":" in config.api_key:
            key, secret, *token = config.api_key.split(":", 2)
            found = HOST_REGION.search(parts.hostname or "")
            if not region and found is None:
                raise InvalidAdapterConfig("options: region is missing, and the endpoint does not tell it.")
            if not (key and secret and config.api_key.isascii() and config.api_key.isprintable()):
                raise InvalidAdapterConfig("api_key: is no <access key id>:<secret>.")
            self._secret = secret
            credentials = Credentials(key, secret, token[0] if token else None)
            self._signer = SigV4Auth(credentials, SERVICE, region or (found[1] if found else ""))
        elif config.api_key:
            bearer = {"Authorization": f"Bearer {config.api_key}"}
            self._headers = sendable({**bearer, **self._headers}, "Authorization")

    def _outgoing(self, call: ModelCall) -> Outgoing:
        verb = "converse-stream" if call.request.stream else "converse"
        url = f"{self._base}/model/{quote(call.model, safe='')}/{verb}"
        data = body(call, self._options)
        return Outgoing(url, self._signed("POST", url, data), data)

    def _answer(self, call: ModelCall) -> AnswerReader:
        return ConverseReader(call.request.params.get("parallel_tool_calls") is not False)

    def _probing(self) -> tuple[str, Mapping[str, str]]:
        """The service has no list of models at this address: that it says so is enough."""
        return self._probe_url, self._signed("GET", self._probe_url, b"")

    def _signed(self, method: str, url: str, data: bytes) -> Mapping[str, str]:
        """Good for five minutes, so made for every request."""
        if self._signer is None:
            return self._headers
        request = AWSRequest(method, url, headers={"Content-Type": self._headers["Content-Type"]}, data=data)
        self._signer.add_auth(request)
        return {**self._headers, **dict(request.headers.items())}

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> EngineError:
        """The kind of an error is in a header, as `ThrottlingException:http://…`, and says more than the status."""
        kind = headers.get("x-amzn-ErrorType", "").partition(":")[0]
        error = refusal(STATUSES.get(kind, status), headers, body, self._secret)
        if any(words in error.message.lower() for words in MISCONFIGURED):
            return UpstreamError("The model's service does not know the model configured for it, or not for us.")
        return error
