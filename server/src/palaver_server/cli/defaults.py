"""A group with a usual command: ``palaver plugins`` means ``palaver plugins list``, flags included."""

import click

__all__ = ["UsualGroup"]


class UsualGroup(click.Group):
    """A group that takes *usual* for the command when none is named."""

    usual = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.usual, *args]
        return super().parse_args(ctx, args)
