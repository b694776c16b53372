"""The application: event loop, keyboard, terminal, frames."""
