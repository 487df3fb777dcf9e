"""A mail server for tests, of aiosmtpd, and a reader of what it got, of Python's own email package.

smtp.py serve PORT DIRECTORY JSON   takes mail into DIRECTORY, one file for each, until it is killed
smtp.py read DIRECTORY              prints every mail as JSON, in the order of arrival

The JSON may have: user and password (then they are wanted), certificate and key (STARTTLS), implicit (TLS from the first
byte), no_sender (every sender is refused), ascii (no SMTPUTF8). A recipient says by its name how it wants to be treated.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys


def serve(port, directory, options):
    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        async def handle_MAIL(self, server, session, envelope, address, mail_options):
            if options.get("no_sender"):
                return f"550 5.7.1 sender <{address}> is not welcome"
            envelope.mail_from = address
            return "250 OK"

        async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
            for name, answer in (
                ("nobody", "550 5.1.1"),
                ("later", "450 4.2.0"),
                ("full", "452 4.2.2"),
                ("policy", "451 4.7.1"),
                ("relay", "530 5.7.0"),
            ):
                if address.startswith(name):
                    return f"{answer} <{address}>: not here"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            if envelope.rcpt_tos[0].startswith("spam"):
                return "554 5.7.1 refused: " + envelope.content.decode("ascii").replace("\r\n", " ")[-60:]
            number = len([name for name in os.listdir(directory) if name.endswith(".eml")])
            path = os.path.join(directory, f"{number:06}")
            with open(path + ".json", "w") as file:
                json.dump({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": bool(session.ssl or implicit)}, file)
            with open(path + ".part", "wb") as file:
                file.write(envelope.content)
            os.rename(path + ".part", path + ".eml")
            return "250 OK"

    def authenticate(server, session, envelope, mechanism, data):
        right = (options["user"].encode(), options["password"].encode())
        return AuthResult(success=(data.login, data.password) == right, handled=False)

    context = None
    if "certificate" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    implicit = context if options.get("implicit") else None
    arguments = {"hostname": "mail.test", "enable_SMTPUTF8": not options.get("ascii")}
    if context and not implicit:
        arguments.update(tls_context=context, require_starttls=True)
    if "user" in options:
        arguments.update(auth_required=True, authenticator=authenticate, auth_require_tls=not implicit)

    async def listen():
        loop = asyncio.get_running_loop()
        make = lambda: SMTP(Handler(), **arguments)
        server = await loop.create_server(make, "127.0.0.1", port, ssl=implicit)
        await server.serve_forever()

    asyncio.run(listen())


def parsed(directory, name):
    with open(os.path.join(directory, name), "rb") as file:
        mail = email.message_from_binary_file(file, policy=email.policy.default)
    with open(os.path.join(directory, name.replace(".eml", ".json"))) as file:
        envelope = json.load(file)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    attachments = [
        {"name": part.get_filename(), "content": part.get_content().decode("latin-1")} for part in mail.iter_attachments()
    ]
    return {
        "envelope": envelope,
        "headers": [[key, str(value)] for key, value in mail.items()],
        "text": text.get_content() if text else None,
        "html": html.get_content() if html else None,
        "attachments": attachments,
    }


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
else:
    names = sorted(name for name in os.listdir(sys.argv[2]) if name.endswith(".eml"))
    json.dump([parsed(sys.argv[2], name) for name in names], sys.stdout)
