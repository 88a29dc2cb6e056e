#!/usr/bin/env python3
"""A help desk behind one program: this one keeps its messages in a SQLite file.

Take it as a start for a desk of yours: put your own calls where the SQL is. What counts: a message
is stored whole or not at all, together with its marker; and `sent` finds it by that.

    helpdesk:
      kind: command
      command: [/usr/local/bin/help_desk_command.py, /srv/dedl/desk.sqlite]
"""

import contextlib
import hashlib
import json
import pathlib
import sqlite3
import sys

SCHEMA = """
create table if not exists messages (
  id integer primary key, ticket text, marker text, subject text, text text, internal integer,
  unique (ticket, marker));
create table if not exists files (message integer, name text, content blob);
"""


def answer(question, desk):
    """Return the answer to a question: an object, which may hold a problem."""
    action, ticket = question["action"], question.get("ticket")
    if action == "health":
        return {"place": "the example desk"}
    if action == "find":
        return {"reference": f"desk:{ticket}"}
    if action == "sent":
        sql = "select id from messages where ticket = ? and marker = ?"
        row = desk.execute(sql, (ticket, question["marker"])).fetchone()
        return {"reference": row and f"desk:{ticket}#{row[0]}"}
    if action in ("reply", "comment"):
        return {"reference": f"desk:{ticket}#{store(question, desk, action == 'comment')}"}
    if action == "read":
        number = question["reference"].rpartition("#")[2]
        row = desk.execute("select text from messages where id = ?", (number,)).fetchone()
        if row is None:
            return {"problem": f"there is no message {number}", "remedy": "Look into the desk."}
        files = desk.execute("select name, content from files where message = ?", (number,))
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files}
        return {"text": row[0], "attachments": digests}
    return {"problem": f"nothing is known of the action {action!r}"}


def store(question, desk, internal):
    """Store a message with its files in one transaction; return its number."""
    sql = "insert into messages (ticket, marker, subject, text, internal) values (?, ?, ?, ?, ?)"
    values = [question[key] for key in ("ticket", "marker", "subject", "text")]
    with desk:
        number = desk.execute(sql, (*values, internal)).lastrowid
        for file in question["attachments"]:
            content = pathlib.Path(file["path"]).read_bytes()
            desk.execute("insert into files values (?, ?, ?)", (number, file["name"], content))
    return number


if __name__ == "__main__":
    with contextlib.closing(sqlite3.connect(sys.argv[1])) as database:
        database.executescript(SCHEMA)
        json.dump(answer(json.load(sys.stdin), database), sys.stdout)
