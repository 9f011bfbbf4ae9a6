"""Support and contact centres: Zendesk, Intercom, Zoho Desk, Amazon Connect, Genesys Cloud.

Sources: the vendors' public documentation. The support funnel's time-out is meant for chat and voice: a ticket
that is solved after five hours would have been given up long before, so tickets count only where the source is
told so (``tickets = true``), and the shop gives the funnel a longer time-out.
"""

from collections.abc import Mapping
from typing import Any, Final

from pipeline.collector.bodies import Body
from pipeline.collector.converters import digest, text_of
from pipeline.collector.families import Family, Reply
from pipeline.collector.incoming import Apart, Incoming, Native
from pipeline.collector.paths import found
from pipeline.collector.sources.shapes import channel_of, json_object, json_objects
from pipeline.collector.tables import ANYTHING, NOTHING, Rule, Table

_LIVE: Final = frozenset({"chat", "messaging", "native_messaging", "voice", "phone", "web_messaging", "whatsapp"})
_RATINGS: Final = {"good": 1.0, "bad": 0.0}


def _zendesk_kind(native: Native) -> str:
    event = native.event
    if "rating" in event:
        return "rating"
    kind = str(event.get("type", "")).removeprefix("zen:event-type:")
    via = str(found(event, ("detail", "via", "channel")) or "").lower()
    if kind.startswith("ticket.") and via not in _LIVE and not native.source.get("tickets"):
        return f"{kind} (ticket)"
    if kind == "ticket.status_changed":
        return f"{kind} {found(event, ('event', 'current'))}"
    return kind


def _zendesk_ticket(native: Native) -> str | None:
    own = found(native.event, ("detail", "id")) or native.event.get("ticket_id")
    return f"zd-{text_of(own)}" if own else None


def _zendesk_score(native: Native) -> float | None:
    """The words of a trigger's placeholder; what is neither good nor bad is not answered yet."""
    return _RATINGS.get(str(native.event.get("rating", "")).lower())


def _intercom_hand_shake(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    return Reply(200) if request.method == "GET" else None


def _desk_kind(native: Native) -> str:
    event = native.event
    kind = str(event.get("eventType", ""))
    if kind == "Ticket_Update" and found(event, ("payload", "statusType")):
        before = str(found(event, ("prevState", "statusType")) or "").upper()
        now = str(found(event, ("payload", "statusType"))).upper()
        return "Ticket_Closed" if now == "CLOSED" and before != "CLOSED" else kind
    return kind


def _desk_id(native: Native) -> str:
    """A ticket is closed once at its closing time: where a webhook does not tell the state before, each later
    update of a closed ticket reads as if it had been closed again.
    """
    event = native.event
    whose, at = found(event, ("payload", "id")), event.get("eventTime")
    if _desk_kind(native) == "Ticket_Closed":
        at = found(event, ("payload", "closedTime")) or at
    return digest(f"{event.get('orgId')}:{event.get('eventType')}:{whose}:{at}")


def _desk_tickets(native: Native) -> str:
    kind = _desk_kind(native)
    live = str(found(native.event, ("payload", "channel")) or "").lower() in _LIVE
    return kind if live or native.source.get("tickets") else f"{kind} (ticket)"


def _ask(request: Incoming, _source: Mapping[str, Any]) -> Reply | None:
    """An address is tried by a GET, and by a POST without anything."""
    return Reply(200) if request.method == "GET" or not request.raw else None


def _connect(request: Incoming, body: Body) -> Apart:
    """Its names begin with a capital letter here and with a small one there."""
    apart = json_object(request, body)
    return Apart([_small(one) for one in apart.events], is_trusted=True)


def _small(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _small(one) for name, one in value.items()}
    return [_small(one) for one in value] if isinstance(value, list) else value


def _connect_kind(native: Native) -> str:
    """Only contacts that customers begin."""
    event = native.event
    kind = str(found(event, ("detail", "eventType")) or "")
    how = str(found(event, ("detail", "initiationMethod")) or "INBOUND").upper()
    return (
        kind if how in ("INBOUND", "API", "TRANSFER", "QUEUE_TRANSFER", "CALLBACK") else f"{kind} ({how.lower()})"
    )


def _genesys_kind(native: Native) -> str:
    """The topic's last two words; of the end of waiting also how it ended."""
    topic = str(native.event.get("detail-type") or found(native.event, ("detail", "topicName")) or "")
    kind = ".".join(topic.rsplit(".", 2)[-2:])
    outcome = str(found(native.event, ("detail", "eventBody", "outcome")) or "").upper()
    return f"{kind} {outcome}" if kind == "acd.end" else kind


ZENDESK: Final = Table(
    kind=_zendesk_kind,
    rules={
        "ticket.created": [Rule("support_contact_started")],
        "ticket.status_changed SOLVED": [Rule("support_contact_resolved")],
        "ticket.merged": [Rule("support_contact_left")],
        "ticket.marked_as_spam": [Rule("support_contact_left")],
        "ticket.soft_deleted": [Rule("support_contact_left")],
        "rating": [
            Rule(
                "survey_answered",
                {
                    "survey": "'csat'",
                    "score": _zendesk_score,
                    "scale": "1",
                    "event_id": "'zd-{ticket_id}-{rating}'",
                    "occurred_at": "updated_at | iso",
                },
                {"rating": ("good", "bad", "Good", "Bad")},
            )
        ],
    },
    fields={
        "event_id": "id | str",
        "occurred_at": "time | iso",
        "channel": channel_of,
        "session_id": _zendesk_ticket,
        "customer_id": "detail.external_id | str ?? customer_id | str",
    },
)
INTERCOM: Final = Table(
    kind="topic",
    rules={
        "conversation.user.created": [Rule("support_contact_started")],
        "conversation.admin.closed": [Rule("support_contact_resolved")],
        "conversation.rating.added": [
            Rule(
                "survey_answered",
                {"survey": "'csat'", "score": "data.item.conversation_rating.rating | num", "scale": "5"},
            )
        ],
    },
    fields={
        "event_id": "id | str",
        "occurred_at": "created_at | epoch_s",
        "channel": channel_of,
        "session_id": "data.item.id | prefix(ic-)",
        "customer_id": "data.item.user.external_id | str ?? data.item.source.author.external_id | str",
    },
)
ZOHO_DESK: Final = Table(
    kind=_desk_tickets,
    rules={
        "Ticket_Add": [Rule("support_contact_started")],
        "Ticket_Closed": [Rule("support_contact_resolved")],
        "Ticket_Delete": [Rule("support_contact_left")],
    },
    fields={
        "event_id": _desk_id,
        "occurred_at": "eventTime | epoch_ms",
        "channel": channel_of,
        "session_id": "payload.id | prefix(zdesk-)",
        "customer_id": "payload.contact.customerId | str",
    },
)
_AGENT: Final = "detail.agentInfo.agentArn"
CONNECT: Final = Table(
    kind=_connect_kind,
    rules={
        "INITIATED": [
            Rule("support_contact_started", {"occurred_at": "detail.initiationTimestamp | iso ?? time | iso"})
        ],
        "QUEUED": [Rule("queue_joined", {"occurred_at": "detail.queueInfo.enqueueTimestamp | iso ?? time | iso"})],
        "CONNECTED_TO_AGENT": [
            Rule("queue_served", {"occurred_at": "detail.agentInfo.connectedToAgentTimestamp | iso ?? time | iso"})
        ],
        "DISCONNECTED": [
            Rule("support_contact_resolved", {}, {_AGENT: ANYTHING}),
            Rule("support_contact_left", {}, {_AGENT: NOTHING}),
            Rule("queue_left", {}, {_AGENT: NOTHING, "detail.queueInfo.queueArn": ANYTHING}),
        ],
    },
    fields={
        "event_id": "id | str",
        "occurred_at": "detail.disconnectTimestamp | iso ?? time | iso",
        "channel": channel_of,
        "session_id": "detail.initialContactId | str ?? detail.contactId | str",
        "customer_id": "detail.customerId | str",
    },
)
_BODY: Final = "detail.eventBody"
GENESYS: Final = Table(
    kind=_genesys_kind,
    rules={
        "customer.start": [Rule("support_contact_started")],
        "acd.start": [Rule("queue_joined")],
        "acd.end ANSWERED": [Rule("queue_served")],
        "acd.end ABANDON": [Rule("queue_left"), Rule("support_contact_left")],
        "user.end": [Rule("support_contact_resolved")],
    },
    fields={
        "event_id": "id | str",
        "occurred_at": f"{_BODY}.eventTime | epoch_ms",
        "channel": channel_of,
        "session_id": f"{_BODY}.conversationId | str",
    },
)
FAMILIES: Final = (
    Family("zendesk", ZENDESK, json_object, Reply(200), scheme="zendesk", user_agent="''"),
    Family(
        "intercom",
        INTERCOM,
        json_object,
        Reply(200),
        scheme="intercom",
        hand_shake=_intercom_hand_shake,
        user_agent="''",
    ),
    Family("zoho_desk", ZOHO_DESK, json_objects, Reply(200), scheme="header", hand_shake=_ask, user_agent="''"),
    Family("amazon_connect", CONNECT, _connect, Reply(200), scheme="header", user_agent="''"),
    Family("genesys", GENESYS, json_object, Reply(200), scheme="header", user_agent="''"),
)
