# SPDX-License-Identifier: Apache-2.0
"""api - the few calls that the demonstration needs, over one kept connection; standard library only."""
import http.client
import json
from urllib.parse import urlsplit


class ApiError(Exception):
    def __init__(self, status, body):
        error = body if isinstance(body, dict) else {}
        super().__init__(f"{status} {error.get('error', '')}: {error.get('message', body)}")
        self.status, self.code, self.body = status, error.get("error"), body


class Api:
    def __init__(self, url, token, timeout_s=150):
        parts = urlsplit(url)
        self.prefix = parts.path.rstrip("/")
        self.token = token
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=timeout_s)

    def call(self, method, path, body=None, raw=None):
        """Decoded JSON, bytes when the answer is none, None when it is empty."""
        headers = {"Authorization": f"Bearer {self.token}"}
        data = raw
        if body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        self.connection.request(method, self.prefix + path, data, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if "json" in answer.headers.get("Content-Type", "") and content:
            content = json.loads(content)
        if answer.status >= 400:
            raise ApiError(answer.status, content)
        return content or None

    def close(self):
        self.connection.close()
