"""Resend: emails are priced by recipient; what cannot be is refused, as is all that is unknown."""

from runcap.vendors.resend.vendor import Resend

__all__ = ["Resend"]
