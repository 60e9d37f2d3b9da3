"""AWS Signature Version 4, against the signatures that AWS published for its own example requests."""

from __future__ import annotations

import re

import pytest

from probes.kinds.wire.sigv4 import Key, sign

AT = 1440938160.0  # 2015-08-30T12:36:00Z, the moment of the test suite
SUITE = Key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service")
HOST = {"host": "example.amazonaws.com"}
FORM = {**HOST, "content-type": "application/x-www-form-urlencoded"}


def signature(headers: dict[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "expected"),
    [
        ("GET", "/", HOST, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", HOST, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param2=value2&Param1=value1", HOST, b"", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET", "/example/..", HOST, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "//", HOST, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", FORM, b"Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ("POST", "/?Param1=value1", HOST, b"", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ],
)
def test_the_suite(method: str, target: str, headers: dict[str, str], body: bytes, expected: str) -> None:
    assert signature(sign(SUITE, method, target, headers, body, AT)) == expected


def test_the_example_of_iam() -> None:
    key = Key(SUITE.access, SUITE.secret, "us-east-1", "iam")
    headers = {"host": "iam.amazonaws.com", "content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    made = sign(key, "GET", "/?Action=ListUsers&Version=2010-05-08", headers, b"", AT)
    assert made["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_the_example_of_s3() -> None:
    key = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "user-agent": "x"}
    made = sign(key, "GET", "/test.txt", headers, b"", 1369353600.0)
    assert signature(made) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert made["x-amz-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_temporary_key_signs_its_token() -> None:
    key = Key(SUITE.access, SUITE.secret, SUITE.region, SUITE.service, "token")
    made = sign(key, "GET", "/", HOST, b"", AT)
    assert made["x-amz-security-token"] == "token"
    assert "host;x-amz-date;x-amz-security-token" in made["authorization"]


def test_what_was_encoded_is_encoded_again_but_not_for_s3() -> None:
    """The two differ only in the path that is signed: an encoded one is encoded once more by all services but S3."""
    plain, coded = (signature(sign(SUITE, "GET", path, HOST, b"", AT)) for path in ("/a~b", "/a%7Eb"))
    assert plain != coded
    s3 = Key(SUITE.access, SUITE.secret, SUITE.region, "s3")
    plain, coded = (signature(sign(s3, "GET", path, HOST, b"", AT)) for path in ("/a~b", "/a%7Eb"))
    assert plain == coded


def test_a_key_is_not_shown() -> None:
    assert not re.search("wJalr|tok", repr(Key("AKID", SUITE.secret, "r", "s", "tok")))
