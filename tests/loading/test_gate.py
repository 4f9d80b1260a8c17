"""The gate between threads that make batches and a compiler."""

from __future__ import annotations

import threading
import time

from gnnkit.loading.gate import Gate


def test_nobody_is_inside_while_it_is_closed():
    gate, inside, seen, stop = Gate(), [0], [], threading.Event()
    lock = threading.Lock()

    def work():
        while not stop.is_set():
            with gate.inside():
                with lock:
                    inside[0] += 1
                time.sleep(0.001)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        time.sleep(0.003)
        with gate.closed():
            seen.append(inside[0])
            time.sleep(0.002)
            seen.append(inside[0])
    stop.set()
    for thread in threads:
        thread.join(5)
    assert seen == [0] * 40 and not any(thread.is_alive() for thread in threads)


def test_a_thread_never_waits_for_itself():
    gate = Gate()
    with gate.closed(), gate.inside(), gate.closed():
        pass
    with gate.inside(), gate.inside(), gate.closed(), gate.inside():
        pass
    done = threading.Event()

    def work():
        with gate.inside():
            done.set()

    threading.Thread(target=work).start()
    assert done.wait(5), "it is open again"


def test_an_error_opens_it():
    gate = Gate()
    for context in (gate.closed, gate.inside):
        try:
            with context():
                raise ValueError
        except ValueError:
            pass
    with gate.closed():
        pass


def test_who_waits_to_close_keeps_those_inside_nested_alive():
    gate, order = Gate(), []
    entered, closing = threading.Event(), threading.Event()

    def work():
        with gate.inside():
            entered.set()
            closing.wait(5)
            time.sleep(0.02)
            with gate.inside():  # Would be a deadlock if it waited for the one that waits.
                order.append("inside")

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(5)
    closing.set()
    with gate.closed():
        order.append("closed")
    thread.join(5)
    assert order == ["inside", "closed"]
