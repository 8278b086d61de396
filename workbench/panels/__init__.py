"""Widgets over the rooms, each with a static form that stays in a saved notebook."""
