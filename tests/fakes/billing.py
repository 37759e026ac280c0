"""What the fake Twilio and Resend bill for what they did, in micro-USD: their own price lists, apart from runcap's.

Twilio's are list prices without carrier fees (twilio.com pricing pages, read 2026-11); Resend's is $0.90 a thousand.
"""

from tests.fakes.journal import Entry

_TWILIO_MICROS = {"segment": 8_300, "minute": 14_000, "local_number": 1_150_000, "toll_free_number": 2_150_000}
_MMS_MICROS = 22_000
_CONFERENCE_MINUTE_MICROS = 1_800
_MACHINE_DETECTION_MICROS = 7_500
_PAYMENT_MICROS = 100_000
_EMAIL_MICROS = 900


def billed_micros(entry: Entry) -> int:
    """What one request cost."""
    if entry.vendor == "resend":
        return entry.moved * _EMAIL_MICROS
    if entry.vendor != "twilio" or not entry.unit:
        return 0
    if entry.unit == "usd":
        return entry.moved * 10_000 + _PAYMENT_MICROS
    if "MediaUrl" in entry.params:
        return _MMS_MICROS
    micros = entry.moved * _TWILIO_MICROS[entry.unit]
    if entry.path.endswith("/Participants.json"):
        micros += entry.moved * _CONFERENCE_MINUTE_MICROS
    if "MachineDetection" in entry.params:
        micros += _MACHINE_DETECTION_MICROS
    return micros
