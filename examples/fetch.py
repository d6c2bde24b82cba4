"""Fetches a URL many times with `requests`, each time in a thread of its own.

    python examples/fetch.py URL [--count 1000] [--threads 1000]
    verdigris run examples/fetch.py URL

Ordinary blocking code: nothing here knows of verdigris. A line is printed for each answer.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

import requests


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("url")
    options.add_argument("--count", type=int, default=1000, help="how many times to fetch it; default: 1000")
    options.add_argument("--threads", type=int, default=1000, help="how many threads to do it in; default: 1000")
    given = options.parse_args()
    with ThreadPoolExecutor(given.threads) as pool:
        for answer in pool.map(fetch, [given.url] * given.count):
            print(answer, flush=True)


def fetch(url: str) -> str:
    response = requests.get(url, timeout=60)
    response.raise_for_status()
    return f"{response.status_code}: {response.text.strip()}"


if __name__ == "__main__":
    main()
