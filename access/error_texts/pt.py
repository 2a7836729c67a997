"""Texts of errors in Portuguese."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "Não foi possível atender à solicitação.",
    "The request is not valid.": "A solicitação não é válida.",
    "The request is larger than allowed.": "A solicitação é maior do que o permitido.",
    "You belong to several tenants; say which.": "Você pertence a várias organizações; indique qual.",
    "A code of your second factor is needed.": "É necessário um código do seu segundo fator.",
    "Too many failed attempts.": "Muitas tentativas sem sucesso.",
    "The conversation is longer than the context window of the model.": (
        "A conversa é mais longa do que a janela de contexto do modelo."
    ),
    "This is not supported.": "Isto não é suportado.",
    "The model's service does not accept this request.": "O serviço do modelo não aceita esta solicitação.",
    "The request contains content that is not allowed.": "A solicitação contém conteúdo que não é permitido.",
    "A valid API key or token is required.": "É necessária uma chave de API ou um token válido.",
    "This credential does not allow the request.": "Esta credencial não permite a solicitação.",
    "Requests from this address are not allowed.": "Solicitações deste endereço não são permitidas.",
    "This tenant is suspended.": "Esta organização está suspensa.",
    "Requests from this web page are not allowed.": "Solicitações desta página da web não são permitidas.",
    "This chat takes no visitors.": "Este chat não aceita visitantes.",
    "There is nothing at this address.": "Não há nada neste endereço.",
    "There is no such model.": "Esse modelo não existe.",
    "There is no such session.": "Essa sessão não existe.",
    "There is no such summary.": "Esse resumo não existe.",
    "The tenant has chosen no model for summaries.": "A organização não escolheu um modelo para resumos.",
    "There is nothing to sum up yet.": "Ainda não há nada para resumir.",
    "The session was changed while it was summed up.": "A sessão foi alterada enquanto era resumida.",
    "The model made no summary.": "O modelo não produziu nenhum resumo.",
    "There is no such turn.": "Esse turno não existe.",
    "This session has no such version, or it is no longer kept.": (
        "Esta sessão não tem essa versão, ou ela já não é mantida."
    ),
    "There is no such snapshot.": "Esse instantâneo não existe.",
    "There is a session of this id already.": "Já existe uma sessão com este identificador.",
    "There is no such API key.": "Essa chave de API não existe.",
    "There is no such member.": "Esse membro não existe.",
    "There is no such invitation.": "Esse convite não existe.",
    "There is no such address.": "Esse endereço não existe.",
    "There is no such allowance.": "Essa cota não existe.",
    "There is no such plugin.": "Esse plugin não existe.",
    "There is no such tenant.": "Essa organização não existe.",
    "This key is revoked.": "Esta chave foi revogada.",
    "This key has ended.": "Esta chave expirou.",
    "This key may do more than you may give.": "Esta chave pode fazer mais do que você pode conceder.",
    "Your role does not allow changing this member.": "A sua função não permite alterar este membro.",
    "This invitation is not open any more.": "Este convite já não está aberto.",
    "It has been accepted: remove the member instead.": "Ele foi aceito: remova o membro.",
    "This model is switched off.": "Este modelo está desativado.",
    "This model is not in service yet: try again in a second.": (
        "Este modelo ainda não está em serviço: tente de novo em um segundo."
    ),
    "This model is the platform's: its operators change it.": (
        "Este modelo é da plataforma: só os operadores dela podem alterá-lo."
    ),
    "Only an operator of the platform may do this.": "Só um operador da plataforma pode fazer isto.",
    "This tenant is being taken off the platform.": "Esta organização está sendo retirada da plataforma.",
    "This method is not allowed here.": "Este método não é permitido aqui.",
    "The resource was changed meanwhile.": "O recurso foi alterado nesse meio-tempo.",
    "The turn was cancelled.": "O turno foi cancelado.",
    "The caller's own deadline has passed.": "O prazo definido por quem chamou terminou.",
    "Too many turns wait for this session.": "Há turnos demais à espera desta sessão.",
    "The previous response was not found.": "A resposta anterior não foi encontrada.",
    "This idempotency key was used with another request.": (
        "Esta chave de idempotência foi usada com outra solicitação."
    ),
    "The first request with this idempotency key is still being answered.": (
        "A primeira solicitação com esta chave de idempotência ainda está sendo respondida."
    ),
    "Too many requests.": "Solicitações demais.",
    "The budget is used up.": "O orçamento está esgotado.",
    "The model's service failed.": "O serviço do modelo falhou.",
    "The model's service did not answer in time.": "O serviço do modelo não respondeu a tempo.",
    "The model's service asks to wait.": "O serviço do modelo pede para aguardar.",
    "The service is not available right now.": "O serviço não está disponível no momento.",
    "The turn was cut off before its end.": "O turno foi interrompido antes do fim.",
    "The audit journal cannot record this request right now.": (
        "O diário de auditoria não pode registrar esta solicitação no momento."
    ),
    "A store of the service cannot be reached right now.": "Um armazenamento do serviço está inacessível no momento.",
    "The service is overloaded.": "O serviço está sobrecarregado.",
    "A plugin that has to take part in this request did not do its work.": (
        "Um plugin que precisa participar desta solicitação não fez o seu trabalho."
    ),
}
