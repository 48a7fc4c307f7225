"""Topics of an MQTT broker: drained in micro-batches as a table of a line, and published to as a sink.

session.py   what a line's file says of a session with a broker, and the client for it
inbox.py     messages that were received and are not acknowledged yet
reader.py    `MqttReader`: messages as rows
sink.py      `MqttSink`: decisions as messages
"""
