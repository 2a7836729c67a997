"""Texts of errors in German."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Die Anfrage konnte nicht bearbeitet werden.",
    "The request is not valid.": "Die Anfrage ist ungültig.",
    "The request is larger than allowed.": "Die Anfrage ist größer als erlaubt.",
    "You belong to several tenants; say which.": "Sie gehören zu mehreren Mandanten; geben Sie an, zu welchem.",
    "A code of your second factor is needed.": "Ein Code Ihres zweiten Faktors wird benötigt.",
    "Too many failed attempts.": "Zu viele fehlgeschlagene Versuche.",
    "The conversation is longer than the context window of the model.": (
        "Das Gespräch ist länger als das Kontextfenster des Modells."
    ),
    "This is not supported.": "Das wird nicht unterstützt.",
    "The model's service does not accept this request.": "Der Dienst des Modells nimmt diese Anfrage nicht an.",
    "The request contains content that is not allowed.": "Die Anfrage enthält Inhalte, die nicht erlaubt sind.",
    "A valid API key or token is required.": "Ein gültiger API-Schlüssel oder Token ist erforderlich.",
    "This credential does not allow the request.": "Diese Zugangsdaten erlauben die Anfrage nicht.",
    "Requests from this address are not allowed.": "Anfragen von dieser Adresse sind nicht erlaubt.",
    "This tenant is suspended.": "Dieser Mandant ist gesperrt.",
    "Requests from this web page are not allowed.": "Anfragen von dieser Webseite sind nicht erlaubt.",
    "This chat takes no visitors.": "Dieser Chat ist nicht für Besucher offen.",
    "There is nothing at this address.": "Unter dieser Adresse gibt es nichts.",
    "There is no such model.": "Dieses Modell gibt es nicht.",
    "There is no such session.": "Diese Sitzung gibt es nicht.",
    "There is no such summary.": "Diese Zusammenfassung gibt es nicht.",
    "The tenant has chosen no model for summaries.": "Der Mandant hat kein Modell für Zusammenfassungen gewählt.",
    "There is nothing to sum up yet.": "Es gibt noch nichts zusammenzufassen.",
    "The session was changed while it was summed up.": "Die Sitzung wurde während der Zusammenfassung geändert.",
    "The model made no summary.": "Das Modell hat keine Zusammenfassung geliefert.",
    "There is no such turn.": "Diese Gesprächsrunde gibt es nicht.",
    "This session has no such version, or it is no longer kept.": (
        "Diese Sitzung hat keine solche Version, oder sie wird nicht mehr aufbewahrt."
    ),
    "There is no such snapshot.": "Diesen Schnappschuss gibt es nicht.",
    "There is a session of this id already.": "Eine Sitzung mit dieser Kennung gibt es bereits.",
    "There is no such API key.": "Diesen API-Schlüssel gibt es nicht.",
    "There is no such member.": "Dieses Mitglied gibt es nicht.",
    "There is no such invitation.": "Diese Einladung gibt es nicht.",
    "There is no such address.": "Diese Adresse gibt es nicht.",
    "There is no such allowance.": "Dieses Kontingent gibt es nicht.",
    "There is no such plugin.": "Dieses Plugin gibt es nicht.",
    "There is no such tenant.": "Diesen Mandanten gibt es nicht.",
    "This key is revoked.": "Dieser Schlüssel ist widerrufen.",
    "This key has ended.": "Dieser Schlüssel ist abgelaufen.",
    "This key may do more than you may give.": "Dieser Schlüssel darf mehr, als Sie vergeben dürfen.",
    "Your role does not allow changing this member.": "Ihre Rolle erlaubt es nicht, dieses Mitglied zu ändern.",
    "This invitation is not open any more.": "Diese Einladung ist nicht mehr offen.",
    "It has been accepted: remove the member instead.": "Sie wurde angenommen: Entfernen Sie stattdessen das Mitglied.",
    "This model is switched off.": "Dieses Modell ist abgeschaltet.",
    "This model is not in service yet: try again in a second.": (
        "Dieses Modell ist noch nicht in Betrieb: Versuchen Sie es in einer Sekunde erneut."
    ),
    "This model is the platform's: its operators change it.": (
        "Dieses Modell gehört der Plattform: Nur deren Betreiber ändern es."
    ),
    "Only an operator of the platform may do this.": "Das darf nur ein Betreiber der Plattform.",
    "This tenant is being taken off the platform.": "Dieser Mandant wird gerade von der Plattform entfernt.",
    "This method is not allowed here.": "Diese Methode ist hier nicht erlaubt.",
    "The resource was changed meanwhile.": "Die Ressource wurde inzwischen geändert.",
    "The turn was cancelled.": "Die Gesprächsrunde wurde abgebrochen.",
    "The caller's own deadline has passed.": "Die vom Aufrufer gesetzte Frist ist abgelaufen.",
    "Too many turns wait for this session.": "Zu viele Gesprächsrunden warten auf diese Sitzung.",
    "The previous response was not found.": "Die vorherige Antwort wurde nicht gefunden.",
    "This idempotency key was used with another request.": (
        "Dieser Idempotenzschlüssel wurde mit einer anderen Anfrage verwendet."
    ),
    "The first request with this idempotency key is still being answered.": (
        "Die erste Anfrage mit diesem Idempotenzschlüssel wird noch beantwortet."
    ),
    "Too many requests.": "Zu viele Anfragen.",
    "The budget is used up.": "Das Budget ist aufgebraucht.",
    "The model's service failed.": "Der Dienst des Modells ist ausgefallen.",
    "The model's service did not answer in time.": "Der Dienst des Modells hat nicht rechtzeitig geantwortet.",
    "The model's service asks to wait.": "Der Dienst des Modells bittet zu warten.",
    "The service is not available right now.": "Der Dienst ist zurzeit nicht verfügbar.",
    "The turn was cut off before its end.": "Die Gesprächsrunde wurde vor ihrem Ende abgebrochen.",
    "The audit journal cannot record this request right now.": (
        "Das Prüfprotokoll kann diese Anfrage zurzeit nicht aufzeichnen."
    ),
    "A store of the service cannot be reached right now.": "Ein Speicher des Dienstes ist zurzeit nicht erreichbar.",
    "The service is overloaded.": "Der Dienst ist überlastet.",
    "A plugin that has to take part in this request did not do its work.": (
        "Ein Plugin, das an dieser Anfrage mitwirken muss, hat seine Arbeit nicht getan."
    ),
}
