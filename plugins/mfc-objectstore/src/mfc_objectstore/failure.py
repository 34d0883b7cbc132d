"""Failures at a store as a sentence: the object, the store's answer, and what to check."""

from __future__ import annotations

import re
from types import MappingProxyType

import attrs

from mfc_objectstore.secrets import scrubbed

#: Meanings of the stores' error codes. Source: the error lists of S3, Cloud Storage's XML API and
#: Blob Storage.
_BY_CODE = MappingProxyType(
    {
        "AccessDenied": "these credentials may not read it, or it does not exist and they may not "
        "list the bucket",
        "AllAccessDisabled": "all access to the bucket is disabled",
        "AuthenticationFailed": "the key, token or signature is wrong or has expired, or this "
        "machine's clock is wrong",
        "AuthorizationFailure": "these credentials may not read it, or the account's network rules "
        "forbid this machine",
        "AuthorizationPermissionMismatch": "the identity has no role such as Storage Blob Data "
        "Reader here",
        "AuthorizationHeaderMalformed": "the region may be wrong: set AWS_DEFAULT_REGION",
        "ContainerNotFound": "no such container at this endpoint",
        "ExpiredToken": "the credentials have expired: get new ones",
        "ExpiredTokenException": "the credentials have expired: get new ones",
        "InvalidAccessKeyId": "the store does not know this access key: another "
        "account or endpoint?",
        "InvalidAuthenticationInfo": "the token is wrong or has expired",
        "InvalidObjectState": "it was archived and has to be restored first",
        "BlobArchived": "it was archived and has to be restored first",
        "InvalidToken": "the session token does not belong to the access key",
        "NoSuchBucket": "no such bucket at this endpoint",
        "PermanentRedirect": "the bucket is in another region: set AWS_DEFAULT_REGION",
        "PublicAccessNotPermitted": "the account allows no anonymous reads, and no "
        "credentials were given",
        "NoAuthenticationInformation": "no credentials were given, and anonymous reads are refused",
        "RequestExpired": "the signature has expired, or this machine's clock is wrong",
        "RequestTimeTooSkewed": "this machine's clock differs too much from the store's: set it",
        "ServerBusy": "the store is busy: read less at once, or later",
        "SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes requests",
        "SlowDown": "the store asks for fewer requests: read less at once, or later",
        "UserProjectMissing": "the requester pays for this bucket, so a project has to be named",
    }
)
#: obstore's words for a request that got no answer.
_BY_WORDS = (
    ("dns error", "the endpoint's name is not known: check it and DNS"),
    (
        "CaUsedAsEndEntity",
        (
            "the endpoint shows the certificate of an authority as its own, which is refused even "
            "where it is trusted: give the server a certificate that the authority signed, or set "
            "option allow_invalid_certificates to trust any"
        ),
    ),
    (
        "InvalidCertificate",
        "the endpoint's certificate is not trusted: check the endpoint, or trust its issuer",
    ),
    (
        "ConnectionRefused",
        "nothing listens at the endpoint: check it; is there a proxy?",
    ),
    ("IncompleteBody", "the connection broke off each time: is there a proxy?"),
    ("ConnectionReset", "the connection broke off each time: is there a proxy?"),
    ("without LOCATION", "the bucket is in another region: set AWS_DEFAULT_REGION"),
)
_LATE = ("kind: Timeout", "TimedOut")
#: obstore's account of its tries.
_TRIES = re.compile(r"Generic \w+ error: | in [\d.]+\w*s(, after \d+ retries, .*? -|(?= -))")
#: Meanings of statuses, for answers without an error code.
_BY_STATUS = MappingProxyType(
    {
        400: "the store does not understand the request: wrong endpoint, region or credentials?",
        401: "credentials are missing, wrong or expired",
        403: "these credentials may not read it, or they are wrong or expired, or this machine's "
        "clock is wrong",
        429: "the store asks for fewer requests: read less at once, or later",
        500: "the store failed, try later",
        503: "the store is busy: read less at once, or later",
    }
)
_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})")
_CODE = re.compile(r"<Code>([^<]*)</Code>|\"code\": ?\"(\w+)\"")
_MESSAGE = re.compile(r"<(?:Message|Details)>([^<\n]*)|\"message\": ?\"([^\"]*)\"")
_LONGEST = 300
#: Errors that obstore raises for a key that cannot be put into a request.
_UNSPEAKABLE = ("ValueError", "UnicodeEncodeError", "InvalidPathError")
#: obstore's errors for azurite's answers to empty ranges, where Azure refuses the range.
_OF_NOTHING = ("bytes 0--1/0", "but object was only")
#: Codes of credentials that have expired, or are not known yet.
_EXPIRED = frozenset(
    {
        "AuthenticationFailed",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidAuthenticationInfo",
        "InvalidToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_UNAUTHENTICATED, _FORBIDDEN, _OUT_OF_RANGE = 401, 403, 416


@attrs.frozen
class Failure:
    """An error of obstore, taken apart."""

    #: Name of its class.
    kind: str
    #: Its message.
    text: str
    #: Its detail for developers.
    detail: str = ""
    #: Status of the HTTP answer; 0 without an answer.
    status: int = 0
    #: The store's name for the error; empty without one.
    code: str = ""
    #: Timeout in seconds.
    seconds: float = 0

    @classmethod
    def of(cls, cause: BaseException, seconds: float) -> Failure:
        """Take an exception apart, with secrets left out."""
        text, _, detail = str(cause).partition("\n\nDebug source")
        text, detail = scrubbed(text), scrubbed(detail)
        status = int(_found(_STATUS, text) or 0)
        code = _found(_CODE, text) or ""
        return cls(type(cause).__name__, _TRIES.sub("", text), detail, status, code, seconds)

    @property
    def out_of_range(self) -> bool:
        """Whether the object exists, and has no bytes in the queried range."""
        return self.status == _OUT_OF_RANGE or any(word in self.text for word in _OF_NOTHING)

    def error(self, url: str) -> OSError:
        """Return the exception that a filesystem raises for it."""
        if self.kind == "FileNotFoundError":
            known = f"; {_BY_CODE[self.code]}" if self.code in _BY_CODE else ""
            return FileNotFoundError(f"{url} does not exist{self._said}{known}")
        if self.is_refusal:
            advice = self._advice or "check the credentials and their permissions"
            return PermissionError(f"{url} may not be read{self._said}; {advice}")
        if self.kind in _UNSPEAKABLE:
            return OSError(
                f"{url} was not read: obstore takes no keys with empty parts, '.', '..' or control "
                f"characters: {_short(self.text)}"
            )
        if self._late:
            return TimeoutError(
                f"{url} was not read: no progress within {self.seconds:g} s "
                f"(MFC_READ_TIMEOUT){self._said}; check network, proxy and endpoint"
            )
        advice = self._advice
        return OSError(f"{url} was not read{self._said}{f'; {advice}' if advice else ''}")

    @property
    def is_expiry(self) -> bool:
        """Whether other credentials of the same reader may be accepted."""
        return self.status == _UNAUTHENTICATED or self.code in _EXPIRED

    @property
    def is_refusal(self) -> bool:
        """Whether credentials or permissions were the reason."""
        return (
            self.is_expiry
            or self.status == _FORBIDDEN
            or self.kind in ("PermissionDeniedError", "UnauthenticatedError")
        )

    @property
    def _late(self) -> bool:
        return not self.status and any(word in self.detail for word in _LATE)

    @property
    def _advice(self) -> str:
        if self.code in _BY_CODE:
            return _BY_CODE[self.code]
        whole = f"{self.text} {self.detail}"
        words = (advice for word, advice in _BY_WORDS if word in whole)
        return _BY_STATUS.get(self.status) or next(words, "")

    @property
    def _said(self) -> str:
        """The store's code and message if it gave them, else obstore's words."""
        if not self.status:
            return f": {_short(self.text)}"
        message = _found(_MESSAGE, self.text) or ""
        words = " ".join(part for part in (str(self.status), self.code) if part)
        return f" ({words}: {_short(message)})" if message else f" ({words})"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), None) if found else None
