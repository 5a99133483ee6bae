"""An SMTP server that writes down what it receives, parsed by Python's own mail parser, one JSON object a line."""
import argparse, asyncio, email, email.policy, json, signal, ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--log", required=True)
parser.add_argument("--cert")
parser.add_argument("--key")
parser.add_argument("--implicit-tls", action="store_true")
parser.add_argument("--user")
parser.add_argument("--password")
parser.add_argument("--brief", action="store_true")
parser.add_argument("--slow", type=float, default=0)
arguments = parser.parse_args()
log = open(arguments.log, "a", encoding="utf-8")


def part(message, kind):
    found = message.get_body(preferencelist=(kind,))
    return found.get_content() if found is not None else None


closing = False


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if closing:
            return "421 4.3.2 going down"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if "refused" in address:
            return "550 5.1.1 <%s> is not here" % address
        if "later" in address:
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if arguments.brief:
            head = envelope.content.split(b"\r\n\r\n", 1)[0].decode()
            found = next(line for line in head.split("\r\n") if line.lower().startswith("message-id:"))
            log.write(json.dumps({"message_id": found.split(":", 1)[1].strip()}) + "\n")
            log.flush()
            return "250 OK"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        log.write(json.dumps({
            "mail_from": envelope.mail_from,
            "rcpt_to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "subject": message["subject"],
            "message_id": message["message-id"],
            "text": part(message, "plain"),
            "html": part(message, "html"),
            "defects": [str(defect) for defect in message.defects],
            "raw": envelope.content.decode("utf-8", "surrogateescape"),
            "tls": session.ssl is not None or arguments.implicit_tls,
            "authenticated": bool(session.authenticated),
        }) + "\n")
        log.flush()
        if any("hang" in address for address in envelope.rcpt_tos):
            await asyncio.sleep(3600)
        if any("content" in address for address in envelope.rcpt_tos):
            return "554 5.6.0 I do not like what it says: " + message.get_content_type()
        await asyncio.sleep(arguments.slow)
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.login == arguments.user.encode() \
        and data.password == arguments.password.encode()
    return AuthResult(success=good)


async def main():
    context = None
    if arguments.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.cert, arguments.key)
    starttls = context if not arguments.implicit_tls else None
    loop = asyncio.get_running_loop()

    def protocol():
        options = {}
        if arguments.user:
            options = {
                "authenticator": authenticator,
                "auth_required": True,
                "auth_require_tls": bool(starttls),
            }
        return SMTP(Handler(), enable_SMTPUTF8=True, tls_context=starttls,
                    require_starttls=bool(starttls), hostname="sink.example", loop=loop, **options)

    server = await loop.create_server(
        protocol, "127.0.0.1", arguments.port, backlog=512,
        ssl=context if arguments.implicit_tls else None)

    def close():
        # As mail servers end: mails under way are taken, nothing new is.
        global closing
        closing = True
        server.close()
        loop.call_later(1.0, loop.stop)

    loop.add_signal_handler(signal.SIGTERM, close)
    print("ready", flush=True)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
loop.run_forever()
