"""A toy line about people: who of those that have an appointment will not come, at two clinics."""
