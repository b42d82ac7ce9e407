"""Who may use a name when several plugins offer it: nobody, unless one of them is built in. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from palaver.assembly.examine import Offer

__all__ = ["contested"]


def contested(offers: Iterable[Offer]) -> Mapping[tuple[str, str], str]:
    """Tell which offers must not be used and why, by plugin and title.

    Names, aliases and schemes count alike: an install must never decide which of two a request reaches.
    """
    claimants: dict[tuple[str, str], list[Offer]] = defaultdict(list)
    for offer in offers:
        for claim in offer.claims:
            claimants[offer.kind, claim].append(offer)
    refused: dict[tuple[str, str], str] = {}
    for (kind, claim), claiming in sorted(claimants.items(), key=lambda item: item[0]):
        entitled = [offer for offer in claiming if offer.builtin]
        plugins = " and ".join(sorted({offer.plugin for offer in claiming}))
        for offer in claiming:
            if len(claiming) < 2 or entitled == [offer]:
                continue
            refused.setdefault(
                (offer.plugin, offer.title),
                f"{offer.title} is not used: {plugins} both claim the {kind} name {claim!r}"
                + (f", which is built in ({entitled[0].plugin})" if entitled else "; block one of them"),
            )
    return refused
