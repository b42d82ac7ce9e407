"""The neutral JSON form: one converter, open tags, strict scalars. Vendors' and surfaces' forms live with them."""

from palaver.codec.converter import Codec, write_time

__all__ = ["Codec", "write_time"]
